"""In Notebook 7, whose page is not JupyterLab's, a chapter runs to its end, and Python sees its explorers moved."""

from lab import NOTEBOOKS, Chapter
from test_jupyterlab import check_that_python_follows, move_by_keyboard


def test_a_chapter_runs_and_python_follows(lab, browser):
    chapter = Chapter(lab, browser, NOTEBOOKS[0], "notebooks")
    assert chapter.page.locator("body[data-notebook=notebooks]").count()
    assert not chapter.finish()
    chapter.connect()
    for section, model_id in chapter.explorers():
        check_that_python_follows(chapter, section, model_id, move_by_keyboard)
    chapter.close()
