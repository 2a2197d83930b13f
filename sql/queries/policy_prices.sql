-- The daily closes of a book's symbols since a day, in no order; each column as the bytes of its numbers
-- (binary_columns).
SELECT count(*) AS n,
       string_agg(int8send(hashtextextended(symbol, 0)), ''::bytea) AS symbol,
       string_agg(int4send(day - DATE '1970-01-01'), ''::bytea) AS day,
       string_agg(float8send(close), ''::bytea) AS close,
       string_agg(float8send(coalesce(volume, 'NaN')), ''::bytea) AS volume,
       string_agg(int8send(CAST(extract(epoch FROM as_of) * 1000000 AS bigint)), ''::bytea) AS as_of
FROM live_prices
WHERE scope = :scope AND day >= :since
