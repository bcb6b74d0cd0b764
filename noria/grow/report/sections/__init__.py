"""The report's sections: results in, words, figures, charts and tables out, in English and Chinese."""
