"""What is known about inputs, one small frozen value per kind: one file each.

A kind has two faces: what a frozen set knows (all of it, sliced by units), and what a training batch is taught, as
tensors. A truth of a frozen set has `len` (its things: emitters, images) and `part(start, stop)` for some units.
"""
