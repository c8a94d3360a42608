"""Plotly figures in the book's one style. On the page their colours follow the theme (book/site_static)."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from PIL import Image
from plotly.subplots import make_subplots

# Okabe and Ito's palette, which readers with any colour vision can tell apart; black and yellow left out, since one of
# them vanishes in each theme. Lines also differ in their dashes and markers.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"]
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]
MARKERS = ["circle", "square", "diamond", "cross", "triangle-up", "x"]

pio.templates["book"] = go.layout.Template(
    layout={
        "font": {"family": "system-ui, sans-serif", "size": 14},
        "colorway": COLOURS,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
        "height": 360,
        "legend": {"orientation": "h", "y": -0.25},
        "title": {"x": 0, "xref": "paper", "font": {"size": 16}},
    }
)


def figure(alt: str, **layout) -> go.Figure:
    """An empty figure in the book's style. `alt` says in words what it shows, for those who cannot see it.

    Raises ValueError if `alt` is empty.
    """
    if not alt.strip():
        raise ValueError(
            f"alt: got {alt!r}, expected a description of what the figure shows"
        )
    return go.Figure(layout={"template": "book", "meta": {"alt": alt}, **layout})


def lines(
    x: Sequence, series: Mapping[str, Sequence[Sequence[float]]], alt: str, **layout
) -> go.Figure:
    """One line for each name: the mean over its runs, with a band from the least to the greatest.

    series: name → runs, each as long as `x`; a single run has no band. Raises ValueError for a run of another length.
    """
    drawing = figure(alt, **layout)
    for i, (name, runs) in enumerate(series.items()):
        for run in runs:
            if len(run) != len(x):
                raise ValueError(
                    f"series[{name!r}]: got a run of {len(run)} values, expected {len(x)}, one for each x"
                )
        colour = COLOURS[i % len(COLOURS)]
        columns = list(zip(*runs, strict=True))
        if len(runs) > 1:
            low, high = (
                [min(column) for column in columns],
                [max(column) for column in columns],
            )
            drawing.add_scatter(
                x=[*x, *reversed(x)],
                y=[*high, *reversed(low)],
                fill="toself",
                fillcolor=colour,
                opacity=0.2,
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
        drawing.add_scatter(
            x=list(x),
            y=[sum(column) / len(column) for column in columns],
            name=name,
            legendgroup=name,
            mode="lines+markers" if len(x) <= 30 else "lines",
            line={"color": colour, "dash": DASHES[i % len(DASHES)], "width": 2},
            marker={"symbol": MARKERS[i % len(MARKERS)], "size": 8},
        )
    return drawing


def pictures(
    panels: Mapping[str, np.ndarray], alt: str, columns: int = 3, **layout
) -> go.Figure:
    """Pictures side by side, each under its name: colours (H, W, 3) in uint8, or maps (H, W) on one scale.

    Raises ValueError for other shapes and types, and if `alt` is empty.
    """
    rows = -(-len(panels) // columns)
    grid = make_subplots(
        rows, columns, subplot_titles=list(panels), horizontal_spacing=0.03
    )
    for i, (name, panel) in enumerate(panels.items()):
        panel = np.asarray(panel)
        if panel.ndim == 2 and np.issubdtype(panel.dtype, np.floating):
            part = go.Heatmap(z=panel.round(2), coloraxis="coloraxis")
        elif panel.ndim == 3 and panel.shape[2] == 3 and panel.dtype == np.uint8:
            stream = io.BytesIO()
            Image.fromarray(panel).save(stream, "PNG", optimize=True)
            code = base64.b64encode(stream.getvalue()).decode()
            part = go.Image(source=f"data:image/png;base64,{code}", hoverinfo="skip")
        else:
            raise ValueError(
                f"panels[{name!r}]: got {panel.dtype} of shape {panel.shape}, expected uint8 (H, W, 3) or floats (H, W)"
            )
        grid.add_trace(part, i // columns + 1, i % columns + 1)
    grid.update_xaxes(visible=False, constrain="domain")
    grid.update_yaxes(
        visible=False, autorange="reversed", scaleanchor="x", constrain="domain"
    )
    for i in range(1, rows * columns + 1):  # each panel keeps its own proportions
        axis = "" if i == 1 else str(i)
        grid.layout[f"yaxis{axis}"].scaleanchor = f"x{axis}"
    base = figure(alt).layout
    return grid.update_layout(template=base.template, meta=base.meta, **layout)
