-- The outcome ledger, trial ledger and testing wealth of the evidence engine.
SELECT 1;
