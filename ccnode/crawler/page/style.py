"""How the page looks: on a light screen, on a dark one, on a telephone, and on paper.

The six colours of series keep apart for people who confuse red and green (Okabe and Ito's palette, a little muted).
"""

from typing import Final

_LIGHT: Final = (
    "--back:#f6f5f2;--card:#fff;--ink:#1d2530;--soft:#5d6875;--grid:#e4e3df;--edge:#dedcd6;"
    "--c0:#2f6fb2;--c1:#d98e04;--c2:#1f9e77;--c3:#b8578f;--c4:#5fb1dd;--c5:#8a8a3a"
)
_DARK: Final = (
    "--back:#11151b;--card:#1a2028;--ink:#e8ebef;--soft:#9aa6b2;--grid:#2c343e;--edge:#2a323c;"
    "--c0:#5b9fe3;--c1:#eda733;--c2:#3fc096;--c3:#d67fb0;--c4:#8fd0f2;--c5:#b7b75e"
)
_SERIES: Final = "".join(
    f".c{i}{{fill:var(--c{i})}}.s{i}{{stroke:var(--c{i})}}.b{i}{{background:var(--c{i})}}" for i in range(6)
)

STYLE: Final = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1280px;padding:28px 20px 40px;background:var(--back);color:var(--ink);
 font:15px/1.5 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
h1{font-size:27px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:18px;line-height:1.3;margin:0 0 6px}
h3{font-size:15px;margin:18px 0 6px}
header p,footer{color:var(--soft);margin:0}
footer{font-size:13px;margin-top:24px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin:20px 0}
.tiles a{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:12px 14px;
 text-decoration:none;color:var(--soft);font-size:13px}
.tiles b{display:block;font-size:21px;line-height:1.3;overflow:hidden;text-overflow:ellipsis;
 color:var(--ink);font-variant-numeric:tabular-nums;
 white-space:nowrap}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,500px),1fr));gap:16px}
section{background:var(--card);border:1px solid var(--edge);border-radius:12px;padding:18px 20px;min-width:0}
section#not-counted{grid-column:1/-1}
section#not-counted figure{max-width:560px}
section#reachable{grid-column:1/-1}
@media(min-width:900px){section#reachable{display:grid;grid-template-columns:2fr 3fr;column-gap:32px;
  grid-template-rows:auto 1fr}section#reachable figure{grid-column:2;grid-row:1/3}}
.answer{margin:0 0 12px;color:var(--soft)}
.answer strong{color:var(--ink)}
figure{margin:0}
svg{display:block;width:100%;height:auto;font-size:13px}
svg text{fill:var(--ink)}
svg .soft{fill:var(--soft)}
svg .end{text-anchor:end}
svg .middle{text-anchor:middle}
svg .grid{stroke:var(--grid)}
svg .line{fill:none;stroke-width:2.5;stroke-linejoin:round}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;list-style:none;margin:4px 0 0;padding:0;font-size:13px;
 color:var(--soft)}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
details{margin-top:8px;font-size:13px;color:var(--soft)}
summary{cursor:pointer}
.wide{overflow-x:auto;margin-top:10px}
table{border-collapse:collapse;font-size:13px;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}
th{font-weight:600}
td{color:var(--soft);overflow-wrap:anywhere}
tbody th{font-weight:500;overflow-wrap:anywhere}
""" + _SERIES + f"@media print{{:root{{{_LIGHT};--back:#fff}}body{{max-width:none;padding:0;font-size:12px}}"
    "main{display:block}section{break-inside:avoid;margin-bottom:12px}details{display:none}"
    "figure{max-width:460px;break-inside:avoid}h2,h3,.answer{break-after:avoid}"
    "section#not-counted{break-inside:auto}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}"
)
