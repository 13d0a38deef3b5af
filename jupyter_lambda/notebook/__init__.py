"""The kernel side: magics, capture of a cell, function handles and what they show."""
