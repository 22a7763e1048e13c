-- `name_folded` is made by `model.users.folded` from now on; the program fills it again.
UPDATE pulsebase.users SET name_folded = NULL;
