"""Demonstrations: exact statements of the lectures, each with a figure and numbers whose value is
known.

A demonstration is a file of this folder with a function `demonstrate`. No list names them:
`genbench demo` finds them by reading the files.
"""
