BEGIN TRANSACTION;
CREATE TABLE access(
  id text not null, repo text not null references repo on delete cascade,
  account text not null collate nocase, status text not null, asked text not null,
  primary key(repo, account));
CREATE TABLE account(
  name text primary key collate nocase, kind text not null,
  owner text collate nocase, created text not null);
INSERT INTO "account" VALUES('potstill','user',NULL,'2025-06-15T12:00:00.000Z');
INSERT INTO "account" VALUES('ann','user',NULL,'2025-06-15T12:00:00.000Z');
INSERT INTO "account" VALUES('lab','org','potstill','2025-06-15T12:00:00.000Z');
CREATE TABLE discussion(
  repo text not null references repo on delete cascade, num int not null, title text not null,
  status text not null, pull int not null, author text not null, created text not null,
  base text, head text, merged text, primary key(repo, num));
CREATE TABLE event(
  id text primary key, repo text not null references repo on delete cascade, num int not null,
  type text not null, created text not null, author text not null, data text not null);
CREATE TABLE moved(
  type text not null, name text not null collate nocase,
  repo text not null references repo on delete cascade, primary key(type, name));
INSERT INTO "moved" VALUES('datasets','ann/old','6fa1');
CREATE TABLE object(
  repo text not null references repo on delete cascade, sha text not null,
  account text not null collate nocase, size int not null, committed int not null,
  pushed text not null, primary key(repo, sha, account));
CREATE TABLE repo(
  id text primary key, type text not null, name text not null collate nocase,
  private int not null, gated text not null, created text not null, unique(type, name));
INSERT INTO "repo" VALUES('6fa1','datasets','ann/set',1,'','2025-06-15T12:00:00.000Z');
CREATE TABLE space(
  repo text not null references repo on delete cascade, part text not null, key text not null,
  value text not null, primary key(repo, part, key));
CREATE TABLE token(hash text primary key, account text not null collate nocase);
INSERT INTO "token" VALUES('658c1ce7245504b35766611fd16e17ba442f6506857ca21a6f6b127714219d8f','potstill');
INSERT INTO "token" VALUES('136218d5abac60a6463f1e70cf777fa0c76f4c6e3fdd6442c5039a96743c72b0','ann');
CREATE TABLE webhook(
  id text primary key, account text not null collate nocase, url text not null,
  watched text not null, domains text not null, secret text, disabled int not null);
CREATE INDEX object_sha on object(sha);
CREATE INDEX event_of on event(repo, num);
COMMIT;
