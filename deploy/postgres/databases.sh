#!/bin/sh
# Run once by the postgres image, on an empty volume: two databases, two users, neither of which may read the other's.
set -eu
psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set=loop="$LOOP_PASSWORD" --set=dagster="$DAGSTER_POSTGRES_PASSWORD" <<'SQL'
CREATE USER meta_pipeline PASSWORD :'loop';
CREATE USER dagster PASSWORD :'dagster';
CREATE DATABASE meta_pipeline OWNER meta_pipeline;
CREATE DATABASE dagster OWNER dagster;
REVOKE CONNECT ON DATABASE meta_pipeline, dagster FROM PUBLIC;
SQL
