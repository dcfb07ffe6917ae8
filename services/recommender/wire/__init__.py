"""The only converter between messages and the recommender's values."""
