// What scrolls by itself can be reached, and so scrolled, by the keyboard.
for (const box of document.querySelectorAll("pre, .table-wrapper, .formula, .sig, .cell_output .output")) box.tabIndex = 0;
