"""Curves as SVG pictures that are readable on a light and on a dark page.

A curve, as a benchmark prints it:
    {"name": "rows-a-batch", "title": "...", "x": "rows a batch", "y": "entries a second", "log_x": true,
     "lines": [{"name": "32 connections", "points": [[1, 25000], [10, 240000]]}]}
The y axis begins at 0: a difference looks as large as it is.
"""
import math
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 46, 56
COLOURS = ["#2f7ed8", "#d9822b", "#3f9c5a", "#b5539c"]  # each over 3:1 against white and near-black

STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #333; }
    .title { font-size: 14px; font-weight: 600; }
    .axis { stroke: #888; } .grid { stroke: #8884; }
    @media (prefers-color-scheme: dark) { text { fill: #ddd; } }
"""


def short(value):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def y_ticks(top):
    """0 and up to five round numbers; the last one is not below `top`."""
    if top <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(top / 5))
    step *= next(m for m in (1, 2, 5, 10) if top / (step * m) <= 5)
    return [step * i for i in range(math.ceil(top / step) + 1)]


def svg(curve):
    """The picture. Raises ValueError if there is no point."""
    points = [p for line in curve["lines"] for p in line["points"]]
    if not points:
        raise ValueError(f"the curve {curve['name']} has no points")
    xs = sorted({p[0] for p in points})
    log_x = curve.get("log_x", False) and xs[0] > 0  # 0 has no place on a logarithmic axis
    place = (lambda x: math.log10(x)) if log_x else (lambda x: x)
    low, high = place(xs[0]), place(xs[-1])
    ticks = y_ticks(max(p[1] for p in points))

    def at(x, y):
        along = (place(x) - low) / (high - low) if high > low else 0.5
        return (LEFT + along * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - y / ticks[-1] * (HEIGHT - TOP - BOTTOM))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
           f"  <title>{escape(curve['title'])}</title>", f"  <style>{STYLE}  </style>",
           f'  <text class="title" x="{LEFT}" y="20">{escape(curve["title"])}</text>']
    for y in ticks:
        _, row = at(xs[0], y)
        out.append(f'  <line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{row:.1f}" y2="{row:.1f}"/>')
        out.append(f'  <text x="{LEFT - 8}" y="{row + 4:.1f}" text-anchor="end">{short(y)}</text>')
    floor = HEIGHT - BOTTOM
    out.append(f'  <line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
    for x in xs:
        column, _ = at(x, 0)
        out.append(f'  <text x="{column:.1f}" y="{floor + 18}" text-anchor="middle">{short(x)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'  <text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(curve["x"])}</text>')
    out.append(f'  <text transform="translate(16 {(TOP + floor) / 2}) rotate(-90)" text-anchor="middle">'
               f'{escape(curve["y"])}</text>')
    for number, line in enumerate(curve["lines"]):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(x, y) for x, y in sorted(line["points"])]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'  <polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'  <circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        row, column = 36, LEFT + 180 * number
        out.append(f'  <line x1="{column}" x2="{column + 16}" y1="{row - 4}" y2="{row - 4}" '
                   f'stroke="{colour}" stroke-width="2"/>')
        out.append(f'  <text x="{column + 22}" y="{row}">{escape(line["name"])}</text>')
    return "\n".join(out + ["</svg>", ""])
