"""`fortress preview`: a preview as a reviewer's comment."""
