"""The small library behind the notebooks: one module a chapter, plus data, training, figures, exercises, explorers."""
