-- What was spent, and the age of what is staged.

-- What each tenant's documents cost on each day of UTC.
CREATE TABLE {index}.spent (
    day date NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    tokens bigint NOT NULL,
    texts bigint NOT NULL,
    money numeric NOT NULL,
    PRIMARY KEY (day, tenant)
);

-- What a sweep looks for.
CREATE INDEX staged_at ON {index}.staged (at);
