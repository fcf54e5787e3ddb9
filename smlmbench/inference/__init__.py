"""Frames in, predictions out, at constant memory."""
