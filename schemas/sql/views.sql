-- What readers use: the promoted index. The first index that is made is the promoted one.
CREATE SCHEMA IF NOT EXISTS headrace;

DO {quote}
BEGIN
    IF to_regclass('headrace.documents') IS NULL THEN
{pair}
    END IF;
END
{quote};
