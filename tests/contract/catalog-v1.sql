-- A catalog of schema version 1, as SQLite dumps it. PostgreSQL takes it once BLOB and X'..' are spelt its way.
CREATE TABLE dedup (
	tenant TEXT NOT NULL, 
	table_name TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	expires_ns BIGINT NOT NULL, 
	ack BLOB NOT NULL, 
	PRIMARY KEY (tenant, table_name, "key")
);
INSERT INTO "dedup" VALUES('t','logs','k1',4611686018427387904,X'0061636B');
CREATE TABLE fields (
	tenant TEXT NOT NULL, 
	table_name TEXT NOT NULL, 
	path TEXT NOT NULL, 
	type TEXT NOT NULL, 
	PRIMARY KEY (tenant, table_name, path, type)
);
INSERT INTO "fields" VALUES('t','logs','n','i64');
INSERT INTO "fields" VALUES('t','logs','rare.field','i64');
INSERT INTO "fields" VALUES('t','logs','rare.field','str');
INSERT INTO "fields" VALUES('t','logs','service','str');
INSERT INTO "fields" VALUES('t','logs','timestamp','timestamp');
INSERT INTO "fields" VALUES('u','spans','n','i64');
INSERT INTO "fields" VALUES('u','spans','rare.field','i64');
INSERT INTO "fields" VALUES('u','spans','rare.field','str');
INSERT INTO "fields" VALUES('u','spans','service','str');
INSERT INTO "fields" VALUES('u','spans','timestamp','timestamp');
CREATE TABLE fragments (
	id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	table_name TEXT NOT NULL, 
	object_key TEXT NOT NULL, 
	window_start_ns BIGINT NOT NULL, 
	window_ns BIGINT NOT NULL, 
	min_ns BIGINT NOT NULL, 
	max_ns BIGINT NOT NULL, 
	row_count BIGINT NOT NULL, 
	bytes BIGINT NOT NULL, 
	raw_bytes BIGINT NOT NULL, 
	level INTEGER NOT NULL, 
	created_ns BIGINT NOT NULL, 
	stats BLOB NOT NULL, 
	retired_ns BIGINT, 
	PRIMARY KEY (id), 
	UNIQUE (object_key)
);
INSERT INTO "fragments" VALUES('a','t','logs','t/logs/a.parquet',3600000000000,3600000000000,3600000000005,3600000000009,10,100,1000,1,7,X'785E9B3479DACA92CCDCD4E292C4DC026C2C0656CE69CB8B538BCA32935361F4E2E29222C685898BAB0EAF9CB6306F61DEE24C3313A6CB0D0C1070BEFE3F0434AE2A4A2C4AD54BCB4CCD4999045203D2070045143360',NULL);
INSERT INTO "fragments" VALUES('b','t','logs','t/logs/b.parquet',7200000000000,3600000000000,7200000000005,7200000000009,10,100,1000,1,7,X'785E9B3479DACA92CCDCD4E292C4DC026C2C0656CE69CB8B538BCA32935361F4E2E29222C685898BAB0EAF9CB6306F61DEE24C3313A6CB0D0C1070BEFE3F0434AE2A4A2C4AD54BCB4CCD4999045203D2070045143360',1800000000000000000);
INSERT INTO "fragments" VALUES('s','u','spans','u/spans/s.parquet',3600000000000,3600000000000,3600000000005,3600000000009,10,100,1000,1,7,X'785E9B3479DACA92CCDCD4E292C4DC026C2C0656CE69CB8B538BCA32935361F4E2E29222C685898BAB0EAF9CB6306F61DEE24C3313A6CB0D0C1070BEFE3F0434AE2A4A2C4AD54BCB4CCD4999045203D2070045143360',NULL);
CREATE TABLE positions (
	partition INTEGER NOT NULL, 
	tenant TEXT NOT NULL, 
	table_name TEXT NOT NULL, 
	sequence BIGINT NOT NULL, 
	PRIMARY KEY (partition, tenant, table_name)
);
INSERT INTO "positions" VALUES(3,'t','logs',7);
INSERT INTO "positions" VALUES(1,'u','spans',2);
CREATE TABLE pulka_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "pulka_schema" VALUES(1);
CREATE INDEX fragments_retired ON fragments (retired_ns) WHERE retired_ns IS NOT NULL;
CREATE INDEX fragments_live ON fragments (tenant, table_name, max_ns) WHERE retired_ns IS NULL;
CREATE INDEX ix_dedup_expires_ns ON dedup (expires_ns);
