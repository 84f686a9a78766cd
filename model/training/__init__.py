"""Everything that makes and measures a model: clips, augmentation, training, evaluation.

Imports ``model``; scoring never imports this package.
"""
