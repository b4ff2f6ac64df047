// What a page shows as files to take away, made when they are asked for: a table that bears `data-files`
// as CSV, JSON (each row by the headers) and LaTeX (for booktabs), and whatever `files.link` is given.
"use strict";

const files = (() => {
  // As `formats/latex_text.py` writes text for LaTeX, letter by letter.
  const TEX = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", _: "\\_", "%": "\\%", "&": "\\&", "#": "\\#", $: "\\$",
    "[": "{[}", "]": "{]}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}",
    ">": "\\textgreater{}", "|": "\\textbar{}", "`": "\\textasciigrave{}", "–": "\\textendash{}",
    "—": "\\textemdash{}", "…": "\\dots{}", "†": "\\textdagger{}", "‡": "\\textdaggerdbl{}",
    "§": "\\textsection{}", "¶": "\\textparagraph{}", "±": "$\\pm$", "×": "$\\times$", "−": "$-$",
    "∞": "$_\\infty$", ℓ: "$\\ell$", "≤": "$\\leq$", "≥": "$\\geq$", "→": "$\\rightarrow$", ο: "o",
  };
  const GREEK =
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma" +
    " tau upsilon varphi chi psi omega";
  GREEK.split(" ").forEach((name, at) => (TEX[String.fromCharCode(0x3b1 + at)] ??= `$\\${name}$`));
  const ELSEWHERE = "«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ";

  // Rows of texts and numbers; text that a spreadsheet would take for a formula is defused.
  function csv(rows) {
    const text = (words) => `"${words.replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
    return lines(rows.map((row) => row.map((it) => (typeof it === "string" ? text(it) : it)).join(",")));
  }

  function json([head, ...rows]) {
    return `${JSON.stringify(rows.map((row) => Object.fromEntries(row.map((it, at) => [head[at], it]))), null, 2)}\n`;
  }

  function latex([head, ...rows]) {
    const line = (row) => `${row.map(tex).join(" & ")} \\\\`;
    const columns = `l${"r".repeat(head.length - 1)}`;
    return lines([
      `\\begin{tabular}{${columns}}`,
      ...["\\toprule", line(head), "\\midrule", ...rows.map(line), "\\bottomrule"],
      "\\end{tabular}",
    ]);
  }

  function tex(text) {
    const escaped = [...`${text}`.replace(/\s+/g, " ").trim().normalize("NFC")].map(letter).join("");
    return escaped.replace(/([-',])(?=\1)/g, "$1{}");
  }

  function letter(sign) {
    if (sign in TEX) return TEX[sign];
    if (/^[ -~\u00a1-\u00ac\u00ae-\u017f]$/.test(sign) && !ELSEWHERE.includes(sign)) return sign;
    const plain = sign.normalize("NFKD").replace(/[^ -~]/g, "");
    if (plain.trim() && plain !== sign) return [...plain].map(letter).join("");
    return `U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  }

  function lines(found) {
    return [...found, ""].join("\n");
  }

  // The table as it is shown, its numbers as numbers.
  function shown(table) {
    return [...table.rows].map((row) =>
      [...row.cells].filter((cell) => !cell.matches(".pick")).map((cell) => {
        const copy = cell.cloneNode(true);
        for (const part of copy.querySelectorAll(".hidden, input")) part.remove();
        for (const beside of copy.querySelectorAll("small, .where")) beside.prepend(" ");
        const text = copy.textContent.replace(/\s+/g, " ").trim();
        return /^[+−-]?\d+(\.\d+)?$/.test(text) ? Number(text.replace("−", "-")) : text;
      }),
    );
  }

  function link(title, label, name, write) {
    const made = document.createElement("a");
    made.href = "";
    made.download = name;
    made.textContent = title;
    made.setAttribute("aria-label", `${label} as ${title}`);
    made.addEventListener("click", () => {
      made.href = `data:text/plain;charset=utf-8,${encodeURIComponent(write())}`;
    });
    return made;
  }

  // A picture as PNG, of twice as many pixels as it has on the page.
  function image(label, name, drawing) {
    const made = document.createElement("a");
    made.href = "";
    made.download = name;
    made.textContent = "PNG";
    made.setAttribute("aria-label", `${label} as PNG`);
    made.addEventListener("click", async (event) => {
      if (made.href.startsWith("data:")) return; // had a moment ago, below
      event.preventDefault();
      const picture = drawing();
      const shown = new Image();
      shown.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture.outerHTML)}`;
      await shown.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * shown.naturalWidth, 2 * shown.naturalHeight];
      canvas.getContext("2d").drawImage(shown, 0, 0, canvas.width, canvas.height);
      made.href = canvas.toDataURL("image/png");
      made.click();
      made.href = "";
    });
    return made;
  }

  for (const table of document.querySelectorAll("table[data-files]")) {
    const frame = table.closest(".scroll");
    const line = document.createElement("p");
    line.className = "files";
    for (const [title, end, write] of [["CSV", "csv", csv], ["JSON", "json", json], ["LaTeX", "tex", latex]]) {
      const name = `${table.dataset.files}.${end}`;
      line.append(link(title, frame.ariaLabel, name, () => write(shown(table))), " ");
    }
    frame.after(line);
  }
  return { csv, image, latex, link };
})();
