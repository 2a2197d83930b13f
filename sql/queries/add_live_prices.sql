-- Writes prices; of one day the latest stands.
INSERT INTO live_prices (scope, symbol, day, close, volume, as_of)
SELECT :scope, p.symbol, p.day, p.close, p.volume, p.as_of
FROM unnest(CAST(:symbol AS text[]), CAST(:day AS date[]), CAST(:close AS float8[]), CAST(:volume AS float8[]),
            CAST(:as_of AS timestamptz[])) AS p (symbol, day, close, volume, as_of)
ON CONFLICT (scope, symbol, day) DO UPDATE
SET close = excluded.close, volume = excluded.volume, as_of = excluded.as_of
WHERE live_prices.as_of < excluded.as_of
