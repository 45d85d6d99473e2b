"""The model that clients see: kinds of instances and the associations between them, as tables."""
