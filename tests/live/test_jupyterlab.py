"""In JupyterLab each chapter runs to its end, and Python sees what a reader does to its explorers."""

from lab import wait_for

CONTROL = "input[type=range]:visible, input[type=radio]:visible"
POSITIONS = "section => [...section.querySelectorAll('input, select')].map(input => [input.value, input.checked])"


def control_of(section):
    """The first slider or answer of an explorer; of one without any, the first choice."""
    moving = section.locator(CONTROL)
    return moving.first if moving.count() else section.locator("select:visible").first


def other_option(control):
    """By how much the chosen place of a list of choices can move: 1, at its end −1; 0 for another control."""
    return control.evaluate(
        "c => c.options ? (c.selectedIndex < c.options.length - 1 ? 1 : -1) : 0"
    )


def move_by_keyboard(page, control):
    """Press two keys on a control: every one must reach it, and not JupyterLab."""
    section = control.locator("xpath=ancestor::section")
    keys = {0: ["Space", "ArrowDown"], 1: ["ArrowDown"], -1: ["ArrowUp"]}[
        other_option(control)
    ]
    if control.get_attribute("type") == "range":
        near_the_end = control.evaluate(
            "slider => slider.value > (+slider.min + +slider.max) / 2"
        )
        keys = ["ArrowLeft", "ArrowDown"] if near_the_end else ["ArrowRight", "ArrowUp"]
    control.focus()
    for key in keys:
        before = section.evaluate(POSITIONS)
        page.keyboard.press(key)
        assert section.evaluate(POSITIONS) != before, f"{key} did not reach the control"


def move_by_pointer(page, control):
    """Drag a slider to its other half, or choose another of several answers."""
    if step := other_option(control):
        chosen = control.evaluate("c => c.selectedIndex")
        control.select_option(index=chosen + step)
        return
    if control.get_attribute("type") == "radio":
        control.locator("xpath=ancestor::fieldset").locator(
            "input:not(:checked)"
        ).first.click()
        return
    control.scroll_into_view_if_needed()
    box = control.bounding_box()
    start, end = box["x"] + 0.1 * box["width"], box["x"] + 0.9 * box["width"]
    if control.evaluate("slider => slider.value > (+slider.min + +slider.max) / 2"):
        start, end = end, start
    page.mouse.move(start, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(end, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()


def check_that_python_follows(chapter, section, model_id, move):
    """Move a control of an explorer, and wait until Python has another value for one of its traits."""
    kind, traits = chapter.traits()[model_id]
    assert kind == section.get_attribute("data-explorer")
    move(chapter.page, control_of(section))
    wait_for(
        lambda: chapter.traits()[model_id][1] != traits,
        30,
        f"{kind} to change in Python",
    )


def test_all_cells_run_without_an_error(chapter):
    assert not chapter.errors


def test_python_sees_the_keyboard(chapter):
    for section, model_id in chapter.explorers():
        check_that_python_follows(chapter, section, model_id, move_by_keyboard)


def test_python_sees_the_pointer(chapter):
    for section, model_id in chapter.explorers():
        check_that_python_follows(chapter, section, model_id, move_by_pointer)
