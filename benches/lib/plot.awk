# Draws what `benches/data cases` has measured: for each case the rate of an image as a share of that
# of a stock brick, and the same of the processor time. Input: case, two rates, two times, per what.
BEGIN {
	FS = "\t"
	left = 250; row = 26; unit = 150; most = 3.5
}
{
	n++
	name[n] = $1
	rate[n] = $3 ? $2 / $3 : 0
	cost[n] = $5 ? $4 / $5 : 0
}
function bar(y, share, colour, title, long) {
	long = (share > most ? most : share) * unit
	printf "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"9\" fill=\"%s\"/>", left, y, long, colour
	printf "<text x=\"%.1f\" y=\"%.1f\">%.2f</text>\n", left + long + 4, y + 8.5, share
}
END {
	height = n * row + 60
	width = left + most * unit + 50
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, height
	printf "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
	printf "<text x=\"10\" y=\"16\" font-size=\"13\">An image beside a file on a stock brick (stock = 1)</text>\n"
	printf "<rect x=\"10\" y=\"24\" width=\"9\" height=\"9\" fill=\"#2a6fb0\"/><text x=\"23\" y=\"33\">rate (more is better)</text>\n"
	printf "<rect x=\"150\" y=\"24\" width=\"9\" height=\"9\" fill=\"#c77d2e\"/><text x=\"163\" y=\"33\">processor time of the brick for the same work (less is better)</text>\n"
	for (i = 1; i <= n; i++) {
		y = 44 + (i - 1) * row
		printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left - 8, y + 13, name[i]
		bar(y, rate[i], "#2a6fb0")
		bar(y + 10, cost[i], "#c77d2e")
	}
	printf "<line x1=\"%d\" y1=\"40\" x2=\"%d\" y2=\"%d\" stroke=\"#000\" stroke-width=\"0.7\"/>\n", left + unit, left + unit, height - 12
	printf "</svg>\n"
}
