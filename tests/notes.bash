# notes.bash - eight notes, a MODEL m and a POOL p of them, for bats files about hare-decode: make_notes in setup_file().
make_notes() {
	cd "$BATS_FILE_TMPDIR"
	unset HARE_MODEL HARE_POOL HARE_STATE HARE_ENDPOINT
	cat > notes.csv <<'NOTES'
id,title,text
tea,Green tea,Green tea wants water of seventy degrees. Let the leaves draw for two minutes.
coffee,Filter coffee,Filter coffee wants water just below boiling. Grind the beans as fine as sand.
bread,Rye bread,Rye bread needs a sourdough. Let the dough rest overnight before you bake it.
soup,Leek soup,"Leek soup begins with butter in a pot. It takes half an hour, and ""patience""."
bike,Flat tyre,Find the hole of a flat tyre of the bike. Glue the patch and wait five minutes.
chain,Bike chain,Clean the chain of the bike with a brush. Oil it sparingly afterwards.
bees,Bees in winter,Bees in winter need dry air and silence. Weigh the hive once a month.
roses,Cut roses,Cut roses in spring when the forsythia blooms. Leave three buds on each branch.
NOTES
	hare-embed fit -o m --min-df 1 -d 6 -c title,text < notes.csv
	hare-embed -m m -c title,text < notes.csv | hare-pool build -m m -o p
}
