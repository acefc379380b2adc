"""From results to a page: findings, words and plots."""
