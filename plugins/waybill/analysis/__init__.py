"""What notebooks and scripts of analysts read: tables, training sets and waybills as DataFrames."""
