-- Erasing an entity finds its rows without stepping through all lists of its tenant, of which every visitor has one.
CREATE INDEX list_row_by_entity ON list_row (tenant, id) WHERE body IS NOT NULL;
