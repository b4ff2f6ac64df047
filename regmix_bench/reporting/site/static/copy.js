// A button beside every command and citation that copies it.
"use strict";

for (const shown of document.querySelectorAll("pre[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${shown.ariaLabel}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(shown.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(shown); // a browser may forbid it: a key copies this
      button.textContent = "Selected";
    }
  });
  shown.after(button);
}
