"""declared - the differences that are meant. One that is not in this table fails the test, and so does
one that is in the table and no longer seen.

(case, path, reason, row): case and path are shell patterns; row is a piece of docs/docker-api-mapping.md,
which must be found there."""

DECLARED = [
]
