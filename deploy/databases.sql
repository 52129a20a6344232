-- The databases of the three that keep rows in Postgres; their tables are made at the first start.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
CREATE DATABASE ledger;
