"""What is done with a trained model and with files: predict, evaluate, export, figure, convert."""
