-- The daily closes of a book's symbols since a day, as columns of fixed width, in no order.
COPY (
    SELECT hashtextextended(symbol, 0), day - DATE '1970-01-01', close, coalesce(volume, 'NaN'),
           CAST(extract(epoch FROM as_of) * 1000000 AS bigint)
    FROM live_prices
    WHERE scope = {scope} AND day >= {since}::date
) TO STDOUT (FORMAT BINARY)
