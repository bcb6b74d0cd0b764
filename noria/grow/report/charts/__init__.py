"""Charts as ECharts options: made from the same results that the tables show, drawn by the report and by any page."""
