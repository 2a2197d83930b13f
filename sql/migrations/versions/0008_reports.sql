-- Reports as files, named by their sha256: of a proposal (part of what is hashed and approved), and of a strategy and night.
-- Null: from before there were such files.
ALTER TABLE meta_config_proposals ADD COLUMN report_sha256 char(64);
ALTER TABLE diagnostics_reports ADD COLUMN page_sha256 char(64);
