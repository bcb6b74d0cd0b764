"""Items and behaviour -> a recommender's folder, judged beside its baselines."""
