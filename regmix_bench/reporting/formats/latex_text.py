"""Plain text as LaTeX reads it: nothing in it is syntax, and no letter stops the compilation."""

from __future__ import annotations

import re
import unicodedata

# A bracket after \\ would be read as its optional argument, hence the braces.
_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "[": "{[}",
    "]": "{]}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\dots{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\textsection{}",
    "¶": r"\textparagraph{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "∞": r"$_\infty$",
    "ℓ": r"$\ell$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    **{
        chr(number): rf"$\{name.lower()}$"
        for number in range(ord("α"), ord("ω") + 1)
        for name in [unicodedata.name(chr(number)).split()[-1].replace("LAMDA", "LAMBDA")]
    },
    "ε": r"$\varepsilon$",
    "φ": r"$\varphi$",
    "ο": "o",
}
# Letters of Latin-1 and Latin Extended-A that not every LaTeX has.
_ELSEWHERE = "«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ"


def tex(text: str) -> str:
    """Return plain text on one line, escaped; letters that LaTeX may lack by their number."""
    escaped = "".join(map(_letter, unicodedata.normalize("NFC", " ".join(text.split()))))
    return re.sub(r"([-',])(?=\1)", r"\1{}", escaped)  # two of them would be read as one


def _letter(letter: str) -> str:
    if letter in _TEX:
        return _TEX[letter]
    if letter.isprintable() and letter < "\u0180" and letter not in _ELSEWHERE:
        return letter
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return (
        "".join(map(_letter, plain))
        if plain.strip() and plain != letter
        else f"U+{ord(letter):04X}"
    )


def prose(text: str) -> str:
    """Return escaped text, with what stands in backticks as code."""

    def piece(match: re.Match[str]) -> str:
        code, word = match.groups()
        if code:
            return rf"\texttt{{{' '.join(map(_word, code.split()))}}}"
        return _word(word or match[0])

    return re.sub(r"`([^`]+)`|([^`\s]+)|`", piece, " ".join(text.split()))


def _word(word: str) -> str:
    """An escaped word; a long one, such as a path, may be broken anywhere."""
    word = shortened(word, 400)
    pieces = [word] if len(word) <= 30 else [word[at : at + 6] for at in range(0, len(word), 6)]
    return r"\allowbreak{}".join(map(tex, pieces))


def shortened(text: str, longest: int) -> str:
    """Return the start of a text that has more letters than ``longest``."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
