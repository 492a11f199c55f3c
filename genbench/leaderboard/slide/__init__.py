"""The comparison slide of the lectures with a verdict behind every word: on the page, and alone as
SVG, PNG, PowerPoint or LaTeX.
"""
