"""How good forecasts would have been: rolling origins, proper scores, models weighed."""
