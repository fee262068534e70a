"""Running models on images: from Python and on files, with the class names of the model."""
