CREATE TABLE event (
	time BIGINT NOT NULL,
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	kind TEXT DEFAULT '' NOT NULL,
	subject TEXT DEFAULT '' NOT NULL,
	historical BOOLEAN NOT NULL,
	data JSON NOT NULL,
	heard_at BIGINT NOT NULL
);
CREATE INDEX event_gateway ON event (gateway_id, time);
CREATE INDEX event_time ON event (time);
CREATE TABLE gateway (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	site TEXT NOT NULL,
	gateway TEXT NOT NULL,
	store TEXT DEFAULT '' NOT NULL,
	boot BIGINT,
	online BOOLEAN,
	reason TEXT DEFAULT '' NOT NULL,
	since BIGINT,
	time_quality TEXT DEFAULT '' NOT NULL,
	version TEXT DEFAULT '' NOT NULL,
	heard_at BIGINT,
	births BIGINT DEFAULT 0 NOT NULL,
	contract_hash TEXT DEFAULT '' NOT NULL,
	contract_made TEXT DEFAULT '' NOT NULL,
	held_tags BIGINT DEFAULT 0 NOT NULL,
	open_changes BIGINT DEFAULT 0 NOT NULL,
	changes JSON DEFAULT '[]' NOT NULL,
	contract_said_at BIGINT,
	contract_heard_at BIGINT,
	promise JSON,
	clash JSON DEFAULT '[]' NOT NULL,
	clash_until BIGINT,
	turns JSON DEFAULT '{}' NOT NULL,
	life_store TEXT DEFAULT '' NOT NULL,
	life_boot BIGINT DEFAULT 0 NOT NULL,
	life_turn BIGINT DEFAULT 0 NOT NULL,
	past JSON DEFAULT '{}' NOT NULL,
	UNIQUE (site, gateway)
);
CREATE TABLE horizon (
	"of" TEXT NOT NULL,
	kept_from BIGINT NOT NULL,
	PRIMARY KEY ("of")
);
CREATE TABLE relay (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	target TEXT NOT NULL,
	name TEXT NOT NULL,
	payload BLOB NOT NULL,
	queued_at BIGINT NOT NULL,
	why TEXT DEFAULT '' NOT NULL
);
CREATE INDEX relay_waiting ON relay (target, why, id);
CREATE TABLE relay_target (
	target TEXT NOT NULL,
	holder TEXT DEFAULT '' NOT NULL,
	until BIGINT,
	attempts BIGINT DEFAULT 0 NOT NULL,
	next_at BIGINT,
	trouble TEXT DEFAULT '' NOT NULL,
	delivered BIGINT DEFAULT 0 NOT NULL,
	dropped TEXT DEFAULT '{}' NOT NULL,
	PRIMARY KEY (target)
);
CREATE TABLE summary (
	start_at BIGINT NOT NULL,
	end_at BIGINT NOT NULL,
	series_id BIGINT NOT NULL,
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	count BIGINT DEFAULT 0 NOT NULL,
	good BIGINT DEFAULT 0 NOT NULL,
	sum BLOB DEFAULT '0' NOT NULL,
	sum_sq BLOB DEFAULT '0' NOT NULL,
	min BIGINT,
	max BIGINT,
	scans BIGINT DEFAULT 0 NOT NULL,
	extrapolating BIGINT DEFAULT 0 NOT NULL,
	jointly BIGINT DEFAULT 0 NOT NULL,
	histogram JSON NOT NULL,
	losses JSON,
	heard_at BIGINT NOT NULL
);
CREATE INDEX summary_message ON summary (gateway_id, seq);
CREATE INDEX summary_series ON summary (series_id, start_at);
CREATE INDEX summary_time ON summary (start_at);
CREATE TABLE total (
	series_id BIGINT NOT NULL,
	day DATE NOT NULL,
	windows BIGINT DEFAULT 0 NOT NULL,
	count BIGINT DEFAULT 0 NOT NULL,
	good BIGINT DEFAULT 0 NOT NULL,
	sum BLOB DEFAULT '0' NOT NULL,
	sum_sq BLOB DEFAULT '0' NOT NULL,
	min BIGINT,
	max BIGINT,
	scans BIGINT DEFAULT 0 NOT NULL,
	extrapolating BIGINT DEFAULT 0 NOT NULL,
	jointly BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (series_id, day)
);
CREATE TABLE worker (
	name TEXT NOT NULL,
	heard_at BIGINT NOT NULL,
	rows BIGINT DEFAULT 0 NOT NULL,
	messages BIGINT DEFAULT 0 NOT NULL,
	duplicates BIGINT DEFAULT 0 NOT NULL,
	unreadable BIGINT DEFAULT 0 NOT NULL,
	trouble TEXT DEFAULT '' NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE condition (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	id TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	open BOOLEAN NOT NULL,
	incident TEXT DEFAULT '' NOT NULL,
	cause TEXT DEFAULT '' NOT NULL,
	text TEXT DEFAULT '' NOT NULL,
	models JSON DEFAULT '[]' NOT NULL,
	raised_at BIGINT,
	data JSON DEFAULT '{}' NOT NULL,
	heard_at BIGINT,
	PRIMARY KEY (gateway_id, store, id),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE INDEX condition_open ON condition (gateway_id) WHERE open;
CREATE TABLE gap (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	"of" TEXT NOT NULL,
	reason TEXT NOT NULL,
	ranges TEXT DEFAULT '[]' NOT NULL,
	count BIGINT DEFAULT 0 NOT NULL,
	told_at BIGINT NOT NULL,
	PRIMARY KEY (gateway_id, store, boot, "of", reason),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE TABLE life (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	birth BIGINT,
	turn BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (gateway_id, store, boot),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE TABLE mark (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	stream TEXT NOT NULL,
	received TEXT DEFAULT '[]' NOT NULL,
	lost TEXT DEFAULT '[]' NOT NULL,
	earlier TEXT DEFAULT '[]' NOT NULL,
	told TEXT DEFAULT '[]' NOT NULL,
	announced TEXT DEFAULT '[]' NOT NULL,
	count BIGINT DEFAULT 0 NOT NULL,
	duplicates BIGINT DEFAULT 0 NOT NULL,
	missing BIGINT DEFAULT 0 NOT NULL,
	awaited BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (gateway_id, store, boot, stream),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE INDEX mark_open ON mark (gateway_id) WHERE missing > 0 OR awaited > 0;
CREATE TABLE model (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	model TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	version TEXT DEFAULT '' NOT NULL,
	owner JSON,
	verdict TEXT DEFAULT '' NOT NULL,
	since BIGINT,
	reasons JSON DEFAULT '[]' NOT NULL,
	text TEXT DEFAULT '' NOT NULL,
	data JSON DEFAULT '{}' NOT NULL,
	heard_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	watched BOOLEAN NOT NULL,
	PRIMARY KEY (gateway_id, store, model),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE TABLE presence (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	online BOOLEAN NOT NULL,
	reason TEXT DEFAULT '' NOT NULL,
	since BIGINT,
	version TEXT DEFAULT '' NOT NULL,
	heard_at BIGINT NOT NULL,
	contract JSON,
	promise JSON,
	PRIMARY KEY (gateway_id, store),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE TABLE request (
	gateway_id BIGINT NOT NULL,
	store TEXT NOT NULL,
	id TEXT NOT NULL,
	boot BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	model TEXT DEFAULT '' NOT NULL,
	state TEXT DEFAULT '' NOT NULL,
	open BOOLEAN NOT NULL,
	owner TEXT DEFAULT '' NOT NULL,
	since BIGINT,
	answers TEXT DEFAULT '' NOT NULL,
	text TEXT DEFAULT '' NOT NULL,
	hint TEXT DEFAULT '' NOT NULL,
	criteria JSON DEFAULT '[]' NOT NULL,
	data JSON DEFAULT '{}' NOT NULL,
	heard_at BIGINT,
	PRIMARY KEY (gateway_id, store, id),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE INDEX request_open ON request (gateway_id) WHERE open;
CREATE TABLE series (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	gateway_id BIGINT NOT NULL,
	model TEXT NOT NULL,
	tag TEXT NOT NULL,
	baseline TEXT NOT NULL,
	centre DOUBLE NOT NULL,
	scale DOUBLE NOT NULL,
	unit TEXT DEFAULT '' NOT NULL,
	per_hour BOOLEAN NOT NULL,
	UNIQUE (gateway_id, model, tag, baseline, centre, scale),
	FOREIGN KEY(gateway_id) REFERENCES gateway (id) ON DELETE CASCADE
);
CREATE VIEW model_now AS
SELECT w.gateway_id, w.site, w.gateway, w.store, w.model, w.version, w.owner,
    CASE WHEN w.why = '' THEN w.told ELSE 'unassessable' END AS verdict,
    CASE WHEN w.why <> '' THEN 1 ELSE CASE w.told
        WHEN 'untrusted' THEN 0 WHEN 'unassessable' THEN 1 WHEN 'caution' THEN 2
        WHEN 'trusted' THEN 3 ELSE 1 END END AS rank,
    w.told, w.why, w.since, w.text, w.reasons, w.data, w.boot, w.seq, w.heard_at, w.expires_at,
    w.watched
FROM (
    SELECT m.gateway_id, g.site, g.gateway, m.store, m.model, m.version, m.owner, m.verdict AS told,
        CASE
            WHEN m.verdict = 'unassessable' THEN ''
            WHEN NOT p.online THEN 'the gateway is offline: ' || p.reason
            WHEN p.boot <> m.boot THEN 'the agent was started anew and has not told it yet'
            WHEN m.expires_at <= m.heard_at
                THEN 'its age is not known; it counts when it is told again'
            WHEN (CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) >= m.expires_at THEN 'no longer valid: nothing heard in time'
            WHEN m.heard_at > (CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) + 5000000 THEN 'the clock of the database was set back'
            ELSE '' END AS why,
        m.since, m.text, m.reasons, m.data, m.boot, m.seq, m.heard_at, m.expires_at, m.watched
    FROM model m
    JOIN gateway g ON g.id = m.gateway_id
    LEFT JOIN presence p ON p.gateway_id = m.gateway_id AND p.store = m.store
    WHERE (g.store = '' OR g.store = m.store OR (g.clash_until > (CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) AND EXISTS (SELECT 1 FROM json_each(g.clash) j WHERE j.value = m.store)))
        AND (m.watched OR m.heard_at >= (CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) - 600000000)
) w;
CREATE VIEW incident_now AS
SELECT i.gateway_id, i.site, i.gateway, i.store, i.incident, i.id AS told_by, i.cause, i.text,
    i.since, i.conditions, (SELECT json_group_array(v) FROM (SELECT DISTINCT n.value AS v FROM condition k CROSS JOIN json_each(k.models) AS n WHERE k.gateway_id = i.gateway_id AND k.store = i.store AND k.incident = i.incident AND k.open ORDER BY 1)) AS models, i.data
FROM (
    SELECT c.gateway_id, g.site, g.gateway, c.store, c.incident, c.id, c.cause, c.text, c.data,
        min(c.raised_at) OVER (PARTITION BY c.gateway_id, c.store, c.incident) AS since,
        count(*) OVER (PARTITION BY c.gateway_id, c.store, c.incident) AS conditions,
        row_number() OVER (PARTITION BY c.gateway_id, c.store, c.incident
            ORDER BY CASE WHEN c.id = c.incident THEN 0 ELSE 1 END,
                CASE WHEN c.raised_at IS NULL THEN 0 ELSE 1 END, c.raised_at, c.id) AS place
    FROM condition c
    JOIN gateway g ON g.id = c.gateway_id
    WHERE c.open AND (g.store = '' OR g.store = c.store OR (g.clash_until > (CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) AND EXISTS (SELECT 1 FROM json_each(g.clash) j WHERE j.value = c.store)))
) i
WHERE i.place = 1;
CREATE VIEW request_now AS
SELECT r.gateway_id, g.site, g.gateway, r.store, r.id, r.model, r.state, r.owner, r.since, r.text,
    r.hint, r.criteria, r.data
FROM request r
JOIN gateway g ON g.id = r.gateway_id
WHERE r.open AND (g.store = '' OR g.store = r.store OR (g.clash_until > (CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) AND EXISTS (SELECT 1 FROM json_each(g.clash) j WHERE j.value = r.store)))
    AND NOT EXISTS (
        SELECT 1 FROM request t
        WHERE t.gateway_id = r.gateway_id AND t.store = r.store AND t.answers = r.id
            AND t.state = 'accepted');
CREATE VIEW change_now AS
SELECT g.id AS gateway_id, g.site, g.gateway, json_extract(c.value, '$.id') AS id, json_extract(c.value, '$.source') AS source, json_extract(c.value, '$.state') AS state, json_extract(c.value, '$.grade') AS grade, json_extract(c.value, '$.hold') AS hold, json_extract(c.value, '$.text') AS text, json_extract(c.value, '$.models') AS models, json_extract(c.value, '$.needs') AS needs, json_extract(c.value, '$.since_ns') AS since_ns, json_extract(c.value, '$.tags') AS tags,
    g.contract_said_at, g.contract_heard_at
FROM gateway g
CROSS JOIN json_each(g.changes) AS c;
CREATE VIEW gateway_now AS
SELECT g.id AS gateway_id, g.site, g.gateway, g.store, g.boot, g.online, g.reason, g.since,
    g.heard_at, g.time_quality, g.version, g.contract_hash, g.contract_made, g.held_tags,
    g.open_changes, g.changes, g.promise,
    CASE WHEN g.clash_until > (CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) THEN g.clash END AS clash,
    coalesce(m.models, 0) AS models, coalesce(m.trusted, 0) AS trusted,
    coalesce(m.caution, 0) AS caution, coalesce(m.untrusted, 0) AS untrusted,
    coalesce(m.unassessable, 0) AS unassessable, coalesce(m.rank, 4) AS rank,
    coalesce(i.incidents, 0) AS open_incidents, coalesce(r.requests, 0) AS open_requests,
    coalesce(l.missing, 0) AS missing, coalesce(l.awaited, 0) AS awaited
FROM gateway g
LEFT JOIN (
    SELECT gateway_id, count(*) AS models, min(rank) AS rank,
        sum(CASE WHEN verdict = 'trusted' THEN 1 ELSE 0 END) AS trusted,
        sum(CASE WHEN verdict = 'caution' THEN 1 ELSE 0 END) AS caution,
        sum(CASE WHEN verdict = 'untrusted' THEN 1 ELSE 0 END) AS untrusted,
        sum(CASE WHEN verdict = 'unassessable' THEN 1 ELSE 0 END) AS unassessable
    FROM model_now GROUP BY gateway_id
) m ON m.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, count(*) AS incidents FROM (
        SELECT DISTINCT c.gateway_id, c.store, c.incident FROM condition c
        JOIN gateway g ON g.id = c.gateway_id
        WHERE c.open AND (g.store = '' OR g.store = c.store OR (g.clash_until > (CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000) AND EXISTS (SELECT 1 FROM json_each(g.clash) j WHERE j.value = c.store)))) d GROUP BY gateway_id
) i ON i.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, count(*) AS requests FROM request_now GROUP BY gateway_id
) r ON r.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, CAST(sum(missing) AS BIGINT) AS missing,
        CAST(sum(awaited) AS BIGINT) AS awaited
    FROM mark WHERE missing > 0 OR awaited > 0 GROUP BY gateway_id
) l ON l.gateway_id = g.id;
CREATE VIEW total_now AS
SELECT t.day, g.site, g.gateway, s.model, s.tag, s.baseline, s.unit, s.per_hour, s.centre, s.scale,
    t.windows, t.count, t.good, t.scans, t.extrapolating, t.jointly,
    CASE WHEN t.good > 0 THEN s.centre + s.scale * CAST(t.sum AS DOUBLE PRECISION)
        / t.good / 1024.0 END AS mean,
    s.centre + s.scale * t.min / 1024.0 AS least, s.centre + s.scale * t.max / 1024.0 AS greatest
FROM total t
JOIN series s ON s.id = t.series_id
JOIN gateway g ON g.id = s.gateway_id;
