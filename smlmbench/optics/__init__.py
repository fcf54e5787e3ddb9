"""Light between an emitter and the camera: pupils, their aberrations and masks, and the image that they make."""
