"""LaTeX of tables that pdfLaTeX compiles without further packages: characters that it does not know are spelled out."""

import unicodedata

KNOWN = {"–": "--", "—": "---", "·": r"$\cdot$", "×": r"$\times$", "±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$",
         "→": r"$\rightarrow$", "∞": r"$\infty$", "σ": r"$\sigma$", "α": r"$\alpha$", "β": r"$\beta$", "Δ": r"$\Delta$",
         "µ": r"$\mu$", "μ": r"$\mu$", "φ": r"$\phi$", "°": r"$^\circ$", "²": "$^2$", "³": "$^3$", "√": r"$\surd$",
         "∩": r"$\cap$", "≈": r"$\approx$", "…": r"\ldots{}", "’": "'", "“": "``", "”": "''",
         "\u00a0": "~"}  # fmt: skip


def spelled_out(text: str) -> str:
    """LaTeX of ASCII characters alone; letters with accents lose them, what nobody can spell is its code point."""
    return "".join(one if one.isascii() else _spelled(one) for one in text)


def _spelled(one: str) -> str:
    plain = unicodedata.normalize("NFKD", one).encode("ascii", "ignore").decode()
    return KNOWN.get(one) or (plain if plain.isalnum() else f"[U+{ord(one):04X}]")
