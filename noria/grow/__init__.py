"""Usage events and market series to share, growth, forecasts and promotion."""
