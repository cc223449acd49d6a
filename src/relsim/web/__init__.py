"""The web page and its JSON API: a thin skin over search, data, results and studies. `relsim serve` starts it."""
