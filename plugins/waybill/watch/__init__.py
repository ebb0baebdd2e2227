"""Watch what arrives: values outside the range expected from past periods, and columns that contracts do not have."""
