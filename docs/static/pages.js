// What scrolls by itself can be reached, and so scrolled, by the keyboard.
for (const box of document.querySelectorAll("pre, .table-wrapper, .formula, .sig, .cell_output .output")) box.tabIndex = 0;

// Browsers break lines behind a hyphen, so that options of commands are boxes of their own.
for (const block of document.querySelectorAll(":is(.highlight-bash, .highlight-console) pre")) {
  const texts = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) found.push(texts.currentNode);
  for (const text of found) {
    const parts = text.data.split(/((?<!\S)--?[\w-]+)/);
    if (parts.length === 1) continue;
    text.replaceWith(...parts.map((part, place) => {
      if (place % 2 === 0) return part;
      const option = document.createElement("span");
      option.className = "option";
      option.textContent = part;
      return option;
    }));
  }
}
