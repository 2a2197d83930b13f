"""What a backtest run is: records, importers, the quality gate, aggregates."""
