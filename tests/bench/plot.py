"""plot - charts as SVG, with nothing but the standard library. A chart is one folder-independent file whose
text stays text, light enough for a browser and for a diff."""
import html
import math

COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f"]
FONT = 'font-family="sans-serif" font-size="12"'


def text(x, y, content, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} {extra}>{html.escape(str(content))}</text>'


def line(x1, y1, x2, y2, colour="#ddd", extra=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'


def document(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
            f'<rect width="{width}" height="{height}" fill="white"/>' + "\n".join(parts) + "</svg>\n")


def ticks(low, high, n=5):
    """Round numbers from low to high."""
    span = high - low or 1
    step = 10 ** math.floor(math.log10(span / n))
    step *= next(f for f in (1, 2, 5, 10) if span / (step * f) <= n)
    first = math.ceil(low / step) * step
    return [first + i * step for i in range(int((high - first) / step + 1e-9) + 1)]


def short(v):
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}"


def curves(title, panels, x_label, width=960, height=230):
    """panels: [(title, {name: [(x, y), ...]}, from_zero)], one below the other over the same x."""
    parts = [text(20, 24, title, extra='font-weight="bold"')]
    left, right, top = 80, 190, 40
    xs = [x for _, series, _ in panels for points in series.values() for x, _ in points] or [0, 1]
    x0, x1 = min(xs), max(xs) or 1
    for index, (heading, series, from_zero) in enumerate(panels):
        upper, lower = top + index * height + 30, top + (index + 1) * height - 25
        ys = [y for points in series.values() for _, y in points] or [0, 1]
        y0, y1 = (0 if from_zero else min(ys)), max(ys)
        margin = (y1 - y0) * 0.05 or 1
        y0, y1 = y0 if from_zero else y0 - margin, y1 + margin

        def place(x, y, y0=y0, y1=y1, upper=upper, lower=lower):
            return (left + (x - x0) / (x1 - x0 or 1) * (width - left - right), lower - (y - y0) / (y1 - y0) * (lower - upper))

        parts.append(text(left, upper - 10, heading))
        for y in ticks(y0, y1):
            parts += [line(left, place(x0, y)[1], width - right, place(x0, y)[1]), text(left - 6, place(x0, y)[1] + 4, short(y), "end")]
        for x in ticks(x0, x1, 10):
            parts += [line(place(x, y0)[0], lower, place(x, y0)[0], lower + 4, "#888"), text(place(x, y0)[0], lower + 17, short(x), "middle")]
        for k, (name, points) in enumerate(series.items()):
            colour = COLOURS[k % len(COLOURS)]
            path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(x, y) for x, y in points))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            parts.append(text(width - right + 12, upper + 14 + 16 * k, name, extra=f'fill="{colour}"'))
    parts.append(text((left + width - right) / 2, top + len(panels) * height + 8, x_label, "middle"))
    return document(width, top + len(panels) * height + 20, parts)


def ratios(title, rows, width=960):
    """rows: [(label, {name: times}, goal or None)]; bars on a logarithmic scale, 1 in the middle of the page's meaning."""
    left, right, top, bar = 330, 90, 60, 13
    values = [v for _, bars, goal in rows for v in [*bars.values(), goal] if v and v > 0] or [1]
    low, high = math.floor(math.log10(min([*values, 1]))), math.ceil(math.log10(max([*values, 1.1])))

    def at(v):
        return left + (math.log10(v) - low) / (high - low) * (width - left - right)

    names = list(dict.fromkeys(name for _, bars, _ in rows for name in bars))
    parts, y = [text(20, 24, title, extra='font-weight="bold"')], top
    for k, name in enumerate(names):
        parts.append(text(left + 170 * k, 44, f"■ {name}", extra=f'fill="{COLOURS[k % len(COLOURS)]}"'))
    body = []
    for label, bars, goal in rows:
        body.append(text(left - 8, y + bar * len(bars) / 2 + 4, label, "end"))
        for name, v in bars.items():
            if v and v > 0:
                x = min(at(v), at(1))
                body.append(f'<rect x="{x:.1f}" y="{y}" width="{max(abs(at(v) - at(1)), 1):.1f}" height="{bar - 2}" '
                            f'fill="{COLOURS[names.index(name) % len(COLOURS)]}"/>')
                body.append(text(max(at(v), at(1)) + 4, y + bar - 3, f"{v:.3g}"))
            y += bar
        if goal:
            body.append(line(at(goal), y - bar * len(bars) - 2, at(goal), y, "black", 'stroke-width="2"'))
        y += 8
    for power in range(low, high + 1):
        x = at(10 ** power)
        parts += [line(x, top - 4, x, y, "#888" if power == 0 else "#ddd"), text(x, y + 14, f"{10 ** power:g}", "middle")]
    return document(width, y + 30, parts + body)
