"""Reports for people: HTML, plots, drift alarms, and tables for a terminal."""
