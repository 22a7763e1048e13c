-- Names as a search compares them, case ignored: see `model.users.folded`, which the engine has no equal of.
ALTER TABLE users ADD COLUMN name_folded VARCHAR;
