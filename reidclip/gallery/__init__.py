"""Galleries that are asked: vectors of pictures, indexes over them, and search.

A gallery's vectors belong to one model (`reidclip.gallery.model`); an index answers for that model alone.
"""
